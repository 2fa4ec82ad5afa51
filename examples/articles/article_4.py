"""Article 4: one of two classes, GRU(128). Steps are the mean, the error and the worst of 10 features of cells; is the tumour benign?"""

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from grus import SequenceClassifier


def main(epochs: int = 10) -> tuple[float, float]:
    X, y = load_breast_cancer(return_X_y=True)
    learnt, test, answers, truth = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
    classifier = SequenceClassifier(cell="gru", hidden_size=128, epochs=epochs, batch_size=32, validation_split=0.2, training={"optimiser": "adam"})
    model = make_pipeline(StandardScaler(), FunctionTransformer(lambda X: X.reshape(-1, 3, 10)), classifier).fit(learnt, answers)
    ours, majority = model.score(test, truth), max(truth.mean(), 1 - truth.mean())
    print(f"accuracy {ours:.3f}; the larger class has {majority:.3f}")
    return ours, majority


if __name__ == "__main__":
    main()
