"""A fleet at work for some minutes, whose memory must stay flat: `make soak`."""
