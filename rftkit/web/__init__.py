"""What the compare app and the service share as servers.

hosts           which hosts reach this machine only, and whom a server there answers: Host, Origin
connections     how many may be open at once, and how long a client may take to send a request
"""
