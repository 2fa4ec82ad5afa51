"""Where a study is kept: a journal of JSON lines or a database. Neither holds a pickle."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from grus.errors import BackendError, OptionError
from grus.tasks.config import check
from grus.tasks.tuning.space import flat
from grus.tasks.tuning.study import Plan, Study


def open_study(plan: Plan, data: str, name: str, place: str, storage: str, tell: Callable[[str], None]) -> Study:
    """The study of that name in a storage, a new one where there is none.

    data: a digest of what the trials learn from. storage: a journal's path, or the URL of a database.
    tell: is told where a study is joined, or a journal was cut.

    Raises: BackendError where the storage cannot be used; OptionError where its study of that name is of another plan or other data.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept, shown = _storage(storage, tell)
    study = optuna.create_study(storage=kept, study_name=name, load_if_exists=True, pruner=_pruner(plan))
    found, began = Study(plan, name, place, study), "plan" in study.user_attrs
    own = flat(json.loads(json.dumps({**plan.to_dict(), "table": data})))
    own.pop("data.path", None)  # each machine has its own
    if began:
        theirs: dict[str, Any] = study.user_attrs["plan"]
        if other := sorted(key for key in {**own, **theirs} if own.get(key) != theirs.get(key)):
            must = f"the study {name!r} in {shown} must go on as it began"
            raise OptionError(f"grus tune: {must}, got another {', '.join(other)}; give another --study or --storage.")
        if study.get_trials(deepcopy=False):
            tell(f"goes on with the study {name!r} in {shown}, which has {found.done} trials that are done.")
        return found
    study.set_user_attr("plan", own)
    if (start := plan.start) is not None:
        study.enqueue_trial(plan.space.parameters(start), user_attrs={"start": True})
    return found


def _pruner(plan: Plan) -> BasePruner:
    epochs = check(plan.written).training.epochs
    if plan.pruner == "hyperband":
        return HyperbandPruner(max_resource=epochs)
    # No trial is ended in its first tenth, where a high learning rate or a warm-up says little.
    return MedianPruner(n_warmup_steps=max(2, 1 + epochs // 10)) if plan.pruner == "median" else NopPruner()


def _storage(storage: str, tell: Callable[[str], None]) -> tuple[BaseStorage, str]:
    """A storage that holds no pickle, and how a message calls it: without a password."""
    if "://" not in storage:
        path = Path(storage).absolute()
        try:
            if path.exists():
                _mend(path, tell)
            return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path)))), storage
        except (ValueError, KeyError, TypeError) as error:
            raise BackendError(f"grus tune: --storage must be a journal of Optuna, got {storage} with other content; name another file.") from error
    shown = storage.partition("://")[0]
    try:
        shown = make_url(storage).render_as_string(hide_password=True)
        return RDBStorage(storage), shown
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        must = "a journal's path or the URL of a database that answers, such as postgresql://user@host/name"
        raise BackendError(f"grus tune: --storage must be {must}, got {shown} ({reason}); start it, or install its driver.") from error


def _mend(path: Path, tell: Callable[[str], None]) -> None:
    """Cut off a last line that was torn when a machine went down: the next one would be glued to it, and the journal lost."""
    lock = JournalFileOpenLock(str(path))
    lock.acquire()
    try:
        content = path.read_bytes()
        torn = len(content) - (content.rfind(b"\n") + 1)
        if torn:
            os.truncate(path, len(content) - torn)
            tell(f"{path}: its last line was torn, as by a power cut, and is left out ({torn} bytes).")
    finally:
        lock.release()
