"""What an NVIDIA GPU needs beside ONNX Runtime: its driver's facts, memory, and runs that use memory made once."""
