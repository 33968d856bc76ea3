"""Files of trials: checkpoints and artifacts on their way in, kept, shown, and given out."""
