/* Where several threads may be inside MPI: what leads from BTLs to pml/ob1. */
#ifndef NINJA_OB1_GATE_H
#define NINJA_OB1_GATE_H

/** Puts that behind the gate, for good. The gate has been built. */
void ob1_gate(void);

#endif
