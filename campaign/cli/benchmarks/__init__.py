"""The benchmark's parts as commands; a module for each name that `bench` takes."""
