"""Problems as pages: the API's problem documents in the console's clothes, for people who followed a link."""

from flask import Flask, g, render_template

from app.http.problems import Problem

#: Where the document speaks to a program, the page says it to a person.
_IN_WORDS = {
    404: "There is no such page, or it belongs to another client.",
    413: "What was sent is larger than this installation takes. Split the list and upload the parts.",
}
#: To an operator nothing is another client's.
_FOR_OPERATORS = "There is no such page. What it showed may have been removed, or its address is mistyped. Clients, Lanes and Keys lead to all there is."


def show_problem(problem: Problem) -> str:
    """Draw a problem. Asks no database: it may be what is missing."""
    words = _IN_WORDS.get(problem.status, problem.detail)
    account = g.get("account")
    if problem.status == 404 and account is not None and account.is_operator:
        words = _FOR_OPERATORS
    return render_template("console/error.html", problem=problem, words=words)


def register(app: Flask) -> None:
    """Have the console draw the problems of requests that prefer HTML."""
    app.extensions["problem_page"] = show_problem
