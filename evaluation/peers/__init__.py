"""What the product is measured against, over the very same passages."""
