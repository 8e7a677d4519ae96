"""What is seen over real channels: one module for each scenario, each with one function to run."""
