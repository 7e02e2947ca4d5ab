"""The radar experiment of Shi et al. 2015: its days, its filter, HKO-7's folders."""
