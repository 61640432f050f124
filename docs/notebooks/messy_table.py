# %% [markdown]
# # Tutorial: a messy table and folds
#
# A spreadsheet as it comes from a clinic: semicolons, decimal commas, words for missing values, classes in mixed case,
# an id that occurs twice. This page shows which errors fusionkit reports and how to resolve each, up to a five-fold
# cross-validation. All outputs are real. [Download the table](messy.csv) (synthetic) to follow along.

# %%
from pathlib import Path

print("\n".join(Path("messy.csv").read_text().splitlines()[:6]))

# %% [markdown]
# ## Describe it
#
# A first attempt, with nothing cleaned. Semicolons need no setting.

# %% [file data.yaml]
# fusionkit-data: 1
# cases: messy.csv
# id: Scan
# patient: Patient                    # two scans of one patient are never divided
# split: {folds: 5, stratify: finding}
# inputs:
#   clinic: {read: columns, numeric: [Age, CRP], categorical: [Smoking]}
# targets:
#   finding: {column: Finding}

# %% [file table.yaml]
# fusionkit: 1
# inputs:
#   clinic: {vector: auto}
# nodes:
#   features: {use: encoder.mlp, from: clinic, with: {width: 16}}
#   finding: {use: head.classify, from: features, with: {classes: [benign, malignant]}}
# training: {epochs: 15, batch_size: 8, learning_rate: 0.01}

# %% [shell]
# fusionkit train table.yaml data.yaml -o run

# %% [markdown]
# ## What must change in the table
#
# All faults are reported together, before anything is trained. Two of them have to be corrected in the table: the unit
# in one age, and the id `S019`, which two rows have. The corrected table gets a new name, and the original stays as it
# was.

# %%
table = Path("messy.csv").read_text()
table = table.replace(" y;", ";")
table = table.replace("P18;S019;", "P18;S020;")
Path("cases.csv").write_text(table)
description = Path("data.yaml").read_text()
Path("data.yaml").write_text(description.replace("messy.csv", "cases.csv"))

# %% [shell]
# fusionkit train table.yaml data.yaml -o run

# %% [markdown]
# ## What the data file can say
#
# The rest needs no change in the table, but a key in `data.yaml`:
#
# - `decimal: ","` says how numbers are written;
# - `blank: [NA, n/a]` lists the words that mean "no value";
# - `fill: mean` replaces a missing number by the mean of the training cases;
# - `values:` under the target renames classes.

# %% [file data.yaml]
# fusionkit-data: 1
# cases: cases.csv
# id: Scan
# patient: Patient
# decimal: ","
# blank: [NA, n/a]
# split: {folds: 5, stratify: finding}
# inputs:
#   clinic: {read: columns, numeric: [Age, CRP], categorical: [Smoking], fill: mean}
# targets:
#   finding: {column: Finding, values: {Benign: benign, Malignant: malignant, MALIGNANT: malignant}}

# %% [shell]
# fusionkit train table.yaml data.yaml -o run

# %% [markdown]
# ## Read the result
#
# Five networks were trained, and each case was predicted once, by the network that had not seen its patient. Means,
# categories and the blank values were taken from the training cases of each fold. The interval resamples patients; with
# 48 of them it is wide, and no better network would make it narrow.
#
# With the same data file, `fusionkit compare` [compares networks](../comparing.md) on these folds. More about tables:
# [clean a spreadsheet](../clean-a-spreadsheet.md), [data files](../data.md).
