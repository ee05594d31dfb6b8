"""Turns MovieLens-100K (RecBole's atomic files) into one Parquet file of labelled ratings with features of all four kinds.

usage: movielens.py FOLDER OUT.parquet

FOLDER holds ml-100k.inter, ml-100k.user and ml-100k.item. One row per rating, in order of time. Every column that describes
history is computed from ratings with a strictly earlier timestamp than its row's: people rate many films within one second,
and rows of the same second must not see each other. Whoever has no history gets an empty cell.
"""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LIKED_FROM = 4
DAY = 86_400
TITLE_WORD = re.compile(r"[a-z0-9']+")
STOP_WORDS = {"the", "a", "an", "of", "and", "in", "to", "la", "le", "de", "on", "for"}


def read_atomic(path):
    """Columns of an atomic file by name; the types in its header (`age:token`) are dropped."""
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    names = [name.split(":")[0] for name in rows[0]]
    return dict(zip(names, zip(*rows[1:])))


class Past:
    """For every row, what happened before it among the rows of the same key."""

    def __init__(self, keys, times):
        self.order = np.lexsort((times, keys))
        keys, self.times = keys[self.order], times[self.order]
        new_key = np.r_[True, keys[1:] != keys[:-1]]
        new_time = new_key | np.r_[True, self.times[1:] != self.times[:-1]]
        positions = np.arange(len(keys))
        # First row of the key, and first row of the key at this very time: the past lies between the two.
        self.begin = np.maximum.accumulate(np.where(new_key, positions, 0))
        self.end = np.maximum.accumulate(np.where(new_time, positions, 0))

    def _by_row(self, values):
        result = np.empty_like(values)
        result[self.order] = values
        return result

    def count(self):
        return self._by_row(self.end - self.begin)

    def sum(self, values):
        """Sum over the past of integer `values`."""
        running = np.r_[0, np.cumsum(values[self.order])]
        return self._by_row(running[self.end] - running[self.begin])

    def mean(self, values):
        return divide(self.sum(values), self.count())

    def since_first(self):
        """Time since the key's first row; empty without a past."""
        return self._by_row(np.where(self.end > self.begin, self.times - self.times[self.begin], np.nan))

    def since_last(self):
        """Time since the key's latest earlier row; empty without a past."""
        return self._by_row(np.where(self.end > self.begin, self.times - self.times[self.end - 1], np.nan))


def divide(sums, counts):
    """sums / counts, empty where nothing was counted."""
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def codes(values):
    """Dense integers for equal values."""
    return np.unique(np.asarray(values), return_inverse=True)[1]


def pair(first, second):
    """One key for a pair of dense keys."""
    return first * (int(second.max()) + 1) + second


def number(text):
    """An integer, or empty for what is not a plain number."""
    return float(text) if text.isdigit() else np.nan


def title_words(title):
    words = TITLE_WORD.findall(re.sub(r"\(\d{4}\)", "", title.lower()))
    return " ".join(word for word in words if word not in STOP_WORDS)


def genre_history(user, film, times, rating, liked, genres_of_film):
    """The user's earlier ratings of films that share a genre with this one: how many, their mean, the share liked.

    A row counts once per genre of its film, so a film that shares two genres weighs twice.
    """
    per_row = np.array([len(genres) for genres in genres_of_film])[film]
    row = np.repeat(np.arange(len(film)), per_row)
    genre = codes(np.concatenate([np.asarray(genres_of_film[f]) for f in film]))
    past = Past(pair(user[row], genre), times[row])

    def add_up(values):
        return np.bincount(row, weights=values, minlength=len(film))

    count = add_up(past.count())
    return count, divide(add_up(past.sum(rating[row])), count), divide(add_up(past.sum(liked[row])), count)


def features(ratings, users, items):
    """All columns of the result by name, one value per rating, in order of time."""
    times = np.array(ratings["timestamp"], dtype=np.int64)
    raw_user, raw_item = (np.array(ratings[name], dtype=np.int64) for name in ("user_id", "item_id"))
    order = np.lexsort((raw_item, raw_user, times))
    times, raw_user, raw_item = times[order], raw_user[order], raw_item[order]
    rating = np.array(ratings["rating"], dtype=np.int64)[order]
    liked = (rating >= LIKED_FROM).astype(np.int64)

    user_row, item_row = ({int(key): row for row, key in enumerate(table)} for table in (users["user_id"], items["item_id"]))
    user = np.array([user_row[key] for key in raw_user])
    film = np.array([item_row[key] for key in raw_item])
    age = np.array([number(text) for text in users["age"]])[user]
    year_of_film = np.array([number(text) for text in items["release_year"]])
    year = year_of_film[film]
    decade = np.nan_to_num(year // 10, nan=0).astype(np.int64)

    of_user, of_film = Past(user, times), Past(film, times)
    of_decade = Past(pair(user, decade), times)
    has_year = ~np.isnan(year)
    liked_year_sum = of_user.sum(np.where(has_year, year, 0).astype(np.int64) * liked)
    liked_year_count = of_user.sum(liked * has_year)
    genre_count, genre_mean, genre_liked = genre_history(
        user, film, times, rating, liked, [text.split() for text in items["class"]]
    )

    def user_column(name):
        return np.asarray(users[name])[user]

    def film_mean_among(group):
        return Past(pair(film, codes(group)), times).mean(rating)

    return {
        "is_liked": liked.astype(np.int32),
        "is_loved": (rating == 5).astype(np.int32),
        "timestamp": times,
        "user_id": raw_user,
        "u_age": age,
        "u_gender": user_column("gender"),
        "u_occupation": user_column("occupation"),
        "u_zip_area": np.array([text[:1] for text in users["zip_code"]])[user],
        "u_ratings_so_far": of_user.count(),
        "u_mean_so_far": of_user.mean(rating),
        "u_liked_share_so_far": of_user.mean(liked),
        "u_minutes_since_last": of_user.since_last() / 60,
        "c_hour": times // 3600 % 24,
        "c_weekday": (times // DAY + 4) % 7,
        "item_id": raw_item,
        "i_year": year,
        "i_age_years": 1970 + times / (365.2425 * DAY) - year,
        "i_genres": np.array(["|".join(text.split()) for text in items["class"]])[film],
        "i_title_words": np.array([title_words(title) for title in items["movie_title"]])[film],
        "i_ratings_so_far": of_film.count(),
        "i_mean_so_far": of_film.mean(rating),
        "i_liked_share_so_far": of_film.mean(liked),
        "i_days_since_first": of_film.since_first() / DAY,
        "x_genre_ratings_so_far": genre_count,
        "x_genre_mean_so_far": genre_mean,
        "x_genre_liked_share_so_far": genre_liked,
        "x_decade_ratings_so_far": of_decade.count(),
        "x_decade_mean_so_far": of_decade.mean(rating),
        "x_years_from_liked": np.abs(year - divide(liked_year_sum, liked_year_count)),
        "x_item_mean_in_gender": film_mean_among(user_column("gender")),
        "x_item_mean_in_occupation": film_mean_among(user_column("occupation")),
        "x_item_mean_in_age_band": film_mean_among(age // 10),
    }


def to_arrow(values):
    """NaN becomes an empty cell; whole numbers are stored as such, others need no more than 32 bits."""
    if values.dtype != np.float64:
        return pa.array(values)
    whole = np.array_equal(values, np.floor(values), equal_nan=True)
    return pa.array(values, pa.int64() if whole else pa.float32(), from_pandas=True)


def main(folder, out):
    folder, out = Path(folder), Path(out)
    tables = [read_atomic(folder / f"ml-100k.{kind}") for kind in ("inter", "user", "item")]
    columns = {name: to_arrow(values) for name, values in features(*tables).items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_suffix(".tmp")
    pq.write_table(pa.table(columns), temporary, compression="zstd")
    temporary.replace(out)
    print(f"{out}: {len(tables[0]['user_id']):,} ratings, {len(columns) - 3} features")


if __name__ == "__main__":
    main(*sys.argv[1:])
