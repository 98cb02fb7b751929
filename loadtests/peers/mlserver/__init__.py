"""MLServer: speaks the Open Inference Protocol V2 itself, in JSON."""
