"""What a workspace knows: documents kept and found."""
