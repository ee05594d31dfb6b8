"""Writes the sample of the Open Bandit Dataset in PyPI's obp 0.4.1 as one Parquet file, a row per impression (docs/tutorial.md).

    python scripts/open_bandit.py obp-0.4.1-py3-none-any.whl impressions.parquet

Needs pandas and pyarrow.
"""

import io
import sys
import zipfile

import pandas as pd


def main(wheel, target):
    with zipfile.ZipFile(wheel) as files:
        log = pd.concat(part(files, policy, campaign) for policy in ["random", "bts"] for campaign in ["all", "men", "women"])
    log["timestamp"] = pd.to_datetime(log["timestamp"], format="ISO8601", utc=True)
    log["hour"] = log["timestamp"].dt.hour
    # Every campaign counts its items from 0.
    log["item_id"] = log["campaign"] + "-" + log["item_id"].astype(str)
    # The log names nobody: people who are alike in all four features count as one.
    log["user_id"] = log.filter(like="user_feature").agg("/".join, axis=1)
    log.sort_values("timestamp", kind="stable").to_parquet(target, index=False)
    print(f"{len(log)} impressions, {log['click'].sum()} clicks, {log['user_id'].nunique()} users, {log['item_id'].nunique()} items")


def part(files, policy, campaign):
    """The impressions of one policy in one campaign, with the items' features."""
    log = table(files, f"{policy}/{campaign}/{campaign}")
    # How often the user has clicked each of the campaign's items before.
    clicks = log.filter(like="affinity")
    log = log.drop(columns=clicks.columns)
    log["affinity"] = clicks.to_numpy()[range(len(log)), log["item_id"]]
    log["affinity_total"] = clicks.sum(axis=1)
    # The same items for both policies: their two tables hash the same values differently.
    items = table(files, f"random/{campaign}/item_context")
    return log.merge(items, on="item_id").assign(policy=policy, campaign=campaign)


def table(files, name):
    return pd.read_csv(io.BytesIO(files.read(f"obp/dataset/obd/{name}.csv")), index_col=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
