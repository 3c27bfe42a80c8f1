/* What leads from transports to pml/ob1, behind the gate. */
#ifndef NINJA_OB1_GATE_H
#define NINJA_OB1_GATE_H

/** Puts it there, for good. The gate has been built. */
void ob1_gate(void);

#endif
