"""A search for settings: ranges of keys, trials in processes of their own, an Optuna study that several machines may share."""
