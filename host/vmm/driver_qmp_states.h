/*
 * What the driver "qmp" keeps in mind of a VM beside its operation and its `move`: small machines,
 * each with what may follow what.
 */
#ifndef NINJA_DRIVER_QMP_STATES_H
#define NINJA_DRIVER_QMP_STATES_H

struct qmp_vm;

/* The QEMU at `to` that is to receive the VM. */
enum receiver {
    RECEIVER_UNKNOWN, /* what is there, if anything is, is not ours */
    RECEIVER_STARTED, /* the command "prepare" ended well */
    RECEIVER_WAITS,   /* it waits for this VM and for nothing else, or did so at the last look */
    RECEIVER_STAYS,   /* the same, and it cannot be made to quit */
    RECEIVER_ENDED,   /* it was told to quit, and did */
    RECEIVERS,
};

/* The copy of its memory, as far as it is to be awaited or to be taken back. */
enum copy {
    COPY_NONE,
    COPY_GOES_ON,       /* "migrate" was given, and its end was not seen */
    COPY_CHANGES_SIDES, /* the same, and post-copy was begun, or may have been */
    COPIES,
};

/* How often adopt() has asked both sides: what they say may not fit together at first. */
enum adoption {
    ADOPTION_NONE,
    ADOPTION_ASKED,
    ADOPTION_ASKED_AGAIN,
    ADOPTIONS,
};

/* The one way to change each of them. */
void receiver_set(struct qmp_vm *v, enum receiver to);
void copy_set(struct qmp_vm *v, enum copy to);
void adoption_set(struct qmp_vm *v, enum adoption to);

#endif
