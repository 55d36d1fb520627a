"""A worker: gets the load of the last minute, says what to think of it, and prints when it is high."""
import dsat


def work(message):
    load = float(message.payload)
    if load > 4:
        print(f"load is {load}", flush=True)
    return f"load {load} is {'high' if load > 4 else 'fine'}"


dsat.run(work)
