"""A summary as a person reads it: a table in the terminal, one page of HTML, a CSV."""
