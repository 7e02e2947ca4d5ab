"""Any model of configs/model: time, memory, floating-point operations and parameters beside each other."""
