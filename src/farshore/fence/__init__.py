"""The fence: a site's storage refuses clients' writes, and goes on refusing them."""
