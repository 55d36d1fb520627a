"""A worker in a few lines: gets the load of the last minute, speaks up when it is high."""
import dsat


def work(message):
    load = float(message.payload)
    if load > 4:
        print(f"load is {load}", flush=True)


dsat.run(work)
