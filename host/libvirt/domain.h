/* What is asked of one domain and takes a moment: looks, devices, resuming, removing. */
#ifndef NINJA_LIBVIRT_DOMAIN_H
#define NINJA_LIBVIRT_DOMAIN_H

#include "host/libvirt/request.h"

/** "domain-look": where it stands; a domain that is not there is "absent", which is no error. */
void domain_look(struct request *request);

/** "device-detach": asks the guest to let go of "alias". An event tells the end. */
void domain_detach(struct request *request);

/** "device-attach": plugs in "xml", for as long as the domain runs. */
void domain_attach(struct request *request);

/** "domain-resume": lets it run. */
void domain_resume(struct request *request);

/** "domain-remove": ends it and forgets its configuration; all that is left of it at this host. */
void domain_remove(struct request *request);

#endif
