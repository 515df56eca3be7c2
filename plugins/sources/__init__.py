"""Where clips come from: files, standard input, the microphone."""
