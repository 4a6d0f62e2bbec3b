"""`rftkit bench`: what a recipe's steps cost on this machine, by every path possible."""
