"""Model packages and the engines that run them: arrays with geometry in, results out."""
