"""ImageManager: projects of groups, their images, and how people classify and comment them."""
