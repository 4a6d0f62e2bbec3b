"""Text and images to model inputs, with or without torchvision; chat templates and their ends."""
