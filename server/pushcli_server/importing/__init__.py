"""What a Chef Push Jobs server, or a Chef Infra Server, has is taken over into our store."""
