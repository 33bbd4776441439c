"""Metrics of a recipe, none of which is run when the recipe is looked at."""

raise SystemExit("this file was run")


def polite(answer):
    return "please" in answer.lower()


def foreign(answer, model):
    return model


def blind(prompt):
    return len(prompt)
