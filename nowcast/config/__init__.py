"""YAML → checked objects. With the commands the only room that knows Hydra."""
