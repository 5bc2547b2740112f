"""The receiver's doors: what they ask for as proof, how much they take, and what work can be started through them."""
