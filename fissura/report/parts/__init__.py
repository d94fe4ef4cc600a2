"""What the writers share: names and files, words and numbers, run lengths, drawing."""
