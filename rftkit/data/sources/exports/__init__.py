"""What annotation tools export, beside the formats that many of them share."""
