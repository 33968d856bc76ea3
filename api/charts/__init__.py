"""What charts are drawn from: pure functions of a study and its trials."""
