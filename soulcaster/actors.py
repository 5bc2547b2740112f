"""Who acts, by what right: four roles, what each may do, and the one gate that every deciding step goes through.

A role binds those who come through a door: a signed-in person, a token, an assistant; each door makes an `Actor`. A
plain string is a caller on this machine (command line, flow): whoever may open the store's file needs no role for it.
"""

from __future__ import annotations

from typing import Literal, Self, get_args

from soulcaster.errors import PermanentError

Role = Literal["viewer", "triager", "fixer", "admin"]

ROLES: tuple[Role, ...] = get_args(Role)
"""From least to most: each may do everything that those before it may."""

Action = Literal[
    "read", "take in", "work", "decide", "edit", "publish", "fix", "stop fixes", "allow fixes", "configure"
]

NEEDED: dict[Action, Role] = {
    "read": "viewer",
    "take in": "triager",
    "work": "triager",
    "decide": "triager",
    "edit": "triager",
    "publish": "triager",
    "fix": "fixer",
    "stop fixes": "fixer",
    "allow fixes": "admin",
    "configure": "admin",
}
"""take in: typed feedback, tables, release from quarantine; work: starting a flow; decide: status, title, owner,
comment; edit: who belongs where; configure: sources, repositories, people, tokens."""


class Actor(str):
    """A name as the activity log keeps it, with the role it has in one project and the door it came through."""

    __slots__ = ("how", "project_id", "role")

    role: Role
    project_id: str
    how: str

    def __new__(cls, name: str, *, role: Role, project_id: str, how: str) -> Self:
        """The name, which equals a plain string of the same words."""
        made = super().__new__(cls, name)
        made.role, made.project_id, made.how = role, project_id, how
        return made


def is_allowed(actor: str, project_id: str, action: Action) -> bool:
    """Whether the actor's role in this project is enough; always for a caller on this machine."""
    if not isinstance(actor, Actor):
        return True
    return actor.project_id == project_id and ROLES.index(actor.role) >= ROLES.index(NEEDED[action])


def require(actor: str, project_id: str, action: Action, doing: str) -> None:
    """Pass when the actor may; `doing` begins the sentence of the refusal, e.g. "Publishing run 'ab12'".

    Raises:
        PermanentError: the role is too low, or was given in another project.
    """
    if isinstance(actor, Actor) and not is_allowed(actor, project_id, action):
        held = actor.role if actor.project_id == project_id else "none"
        raise PermanentError(
            f"{doing} needs the role {NEEDED[action]} in project {project_id!r}, {str(actor)!r} has {held}; "
            "ask an admin, who gives roles with `soulcaster person add`."
        )
