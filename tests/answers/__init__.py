"""Answers to the exercises of each lesson, right and wrong, with which its self-checks are tried.

``NAMES`` is what the checks of a lesson use and the lesson computes (numbers as they may come out, modules);
its functions are taken from the notebook. ``ANSWERS`` holds for each exercise the name to set, an answer that
is right, and some that are wrong.
"""
