"""Local folders of `source = "hub"`: nothing outside the folder is read, nothing is fetched."""
