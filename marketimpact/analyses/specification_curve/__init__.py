"""One estimate across many specifications, with the joint test over all of them."""
