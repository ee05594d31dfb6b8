"""Tests of movielens.py: history is exactly what came earlier, and nothing of the future shows. Run by scripts/test."""

import unittest

import numpy as np

import movielens

RATINGS = {
    # Users 1 and 2; two pairs of ratings fall into one second.
    "user_id": ("1", "2", "1", "1", "2", "1", "2"),
    "item_id": ("10", "10", "11", "12", "11", "13", "12"),
    "rating": ("5", "2", "3", "4", "4", "1", "5"),
    "timestamp": ("100", "200", "300", "300", "300", "400", "500"),
}
USERS = {
    "user_id": ("1", "2"),
    "age": ("24", "27"),
    "gender": ("F", "M"),
    "occupation": ("artist", "artist"),
    "zip_code": ("85711", "V3N4P"),
}
ITEMS = {
    "item_id": ("10", "11", "12", "13"),
    "movie_title": ("The Wolf (1994)", "Sea", "Hill", "unkonwn"),
    "release_year": ("1994", "1990", "1988", "unkonwn"),
    "class": ("Drama War", "Drama", "War Drama", "Comedy"),
}


def row_of(columns, user, item):
    rows = (columns["user_id"] == user) & (columns["item_id"] == item)
    return {name: values[rows][0] for name, values in columns.items()}


class Features(unittest.TestCase):
    def setUp(self):
        self.columns = movielens.features(RATINGS, USERS, ITEMS)

    def test_a_first_rating_has_an_empty_past(self):
        row = row_of(self.columns, 1, 10)
        self.assertEqual(row["u_ratings_so_far"], 0)
        for name in ("u_mean_so_far", "i_mean_so_far", "i_days_since_first", "x_genre_mean_so_far", "u_minutes_since_last"):
            self.assertTrue(np.isnan(row[name]), name)

    def test_ratings_of_the_same_second_do_not_see_each_other(self):
        # Film 11 is rated by both users at 300, and user 1 rates film 12 in that second too.
        for user in (1, 2):
            self.assertEqual(row_of(self.columns, user, 11)["i_ratings_so_far"], 0)
        self.assertEqual(row_of(self.columns, 1, 11)["u_ratings_so_far"], 1)
        self.assertEqual(row_of(self.columns, 1, 12)["u_ratings_so_far"], 1)

    def test_history_is_counted_by_hand(self):
        row = row_of(self.columns, 2, 12)
        # User 2 rated film 10 (Drama War) with 2 and film 11 (Drama) with 4; film 12 is War and Drama.
        self.assertEqual(row["u_ratings_so_far"], 2)
        self.assertEqual(row["u_mean_so_far"], 3)
        self.assertEqual(row["u_minutes_since_last"], 200 / 60)
        self.assertEqual(row["x_genre_ratings_so_far"], 3)
        self.assertEqual(row["x_genre_mean_so_far"], (2 + 2 + 4) / 3)
        self.assertEqual(row["x_genre_liked_share_so_far"], 1 / 3)
        self.assertEqual(row["x_years_from_liked"], 2)
        self.assertEqual(row["i_mean_so_far"], 4)
        self.assertEqual(row["x_item_mean_in_occupation"], 4)
        self.assertTrue(np.isnan(row["x_item_mean_in_gender"]))

    def test_changing_a_rating_changes_no_row_up_to_its_time(self):
        changed = dict(RATINGS, rating=("5", "2", "3", "1", "4", "1", "5"))
        after = movielens.features(changed, USERS, ITEMS)
        earlier = self.columns["timestamp"] <= 300
        for name, values in self.columns.items():
            if name not in ("is_liked", "is_loved"):
                np.testing.assert_array_equal(values[earlier], after[name][earlier], name)
        self.assertNotEqual(row_of(after, 1, 13)["u_mean_so_far"], row_of(self.columns, 1, 13)["u_mean_so_far"])

    def test_hour_and_weekday_are_those_of_the_calendar(self):
        moved = dict(RATINGS, timestamp=("891036423",) * 7)
        columns = movielens.features(moved, USERS, ITEMS)
        # 1998-03-27 was a Friday; 22:07:03 UTC.
        self.assertEqual(set(columns["c_hour"]), {22})
        self.assertEqual(set(columns["c_weekday"]), {5})

    def test_text_is_split_and_unknown_years_are_empty(self):
        self.assertEqual(row_of(self.columns, 1, 10)["i_title_words"], "wolf")
        self.assertEqual(row_of(self.columns, 1, 10)["i_genres"], "Drama|War")
        self.assertTrue(np.isnan(row_of(self.columns, 1, 13)["i_year"]))


if __name__ == "__main__":
    unittest.main()
