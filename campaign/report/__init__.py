"""What a campaign found, made readable: the HTML page, Gantt charts, and the front on a
terminal."""
