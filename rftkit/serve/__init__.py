"""`rftkit serve`: a fine-tuned model behind HTTP, its own API and OpenAI's.

errors, options         what is refused, and what the command line set
body, images            a request's bytes, JSON or form, and the images in it
predictions, chat       the requests of both APIs, checked, and their answers
engine, batching        what answers, and the queue whose waiting requests share a forward
metrics, service, app   counts for Prometheus; a request from arrival to answer; the routes
run                     from the command line to a server and to its graceful end
"""
