"""Problems as pages: the API's problem documents in the console's clothes, for people who followed a link."""

from flask import Flask, render_template

from app.http.problems import Problem


def show_problem(problem: Problem) -> str:
    """Draw a problem. Asks no database: it may be what is missing."""
    return render_template("console/error.html", problem=problem)


def register(app: Flask) -> None:
    """Have the console draw the problems of requests that prefer HTML."""
    app.extensions["problem_page"] = show_problem
