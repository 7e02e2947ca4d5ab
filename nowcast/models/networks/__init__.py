"""Networks: input frames and a number of steps → what a head needs, before the sigmoid."""
