"""What was typed, as checked objects. With the commands the only room that knows Hydra.

In: YAML files and a command line. Out: a config that has been checked, and the objects that its nodes name.
"""
