"""What a network says, as rain: the one place that knows scaling, calibration and checkpoint.

In: a checkpoint and windows, or forecast files of others. Out: forecasts in mm h-1.
"""
