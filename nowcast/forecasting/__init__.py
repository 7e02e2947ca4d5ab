"""What a network says, as rain: the one place that knows scaling, calibration and checkpoint."""
