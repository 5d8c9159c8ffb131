app:
	$(CC) $(CFLAGS) -v
