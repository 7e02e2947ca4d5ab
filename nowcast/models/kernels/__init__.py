"""The ConvLSTM's inner loops: layer, steps on CPU and CUDA, convolutions, and the C compiler."""
