/* What a domain's XML says of real devices, and how it gets those of another host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "host/libvirt/domain_xml.h"

#define FUNCTION                                                                                   \
    "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' "         \
    "bus='0x3b' slot='0x00' function='0x1'/></source><alias name='ua-hca0'/><address type='pci' "  \
    "domain='0x0000' bus='0x05' slot='0x00' function='0x0'/></hostdev>"
#define FROM_POOL                                                                                  \
    "<interface type='hostdev' managed='yes'><mac address='52:54:00:77:00:01'/><source "           \
    "network='sriov-pool'/><alias name='ua-hca0'/></interface>"
#define OTHERS                                                                                     \
    "<interface type='bridge'><source bridge='mgmt'/><alias name='net0'/></interface>"             \
    "<hostdev mode='subsystem' type='usb'><alias name='ua-stick'/></hostdev>"
#define DOMAIN(devices) "<domain type='kvm'><name>vm1</name><devices>" devices "</devices></domain>"

static void the_aliases_of_users_are_listed(void **state)
{
    json_t *list = domain_xml_aliases(DOMAIN(OTHERS FUNCTION));
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_array_get(list, 0)), "ua-stick");
    assert_string_equal(json_string_value(json_array_get(list, 1)), "ua-hca0");
    json_decref(list);
    list = domain_xml_aliases("<domain");
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
}

/* The one goes with all that is in it, the others stay, and the new one is as it was given. */
static void exchanged(const char *own, const char *other)
{
    char domain[2000];
    snprintf(domain, sizeof(domain), DOMAIN(OTHERS "%s"), own);
    xmlChar *xml = domain_xml_exchange(domain, "ua-hca0", *other ? other : NULL);
    assert_non_null(xml);
    assert_non_null(strstr((char *)xml, "<alias name=\"net0\"/>"));
    assert_non_null(strstr((char *)xml, "<alias name=\"ua-stick\"/>"));
    xmlDocPtr doc = domain_xml_parse((char *)xml);
    const char *path = "/domain/devices/*[alias/@name = 'ua-hca0']";
    xmlBufferPtr device = domain_xml_element(doc, path);
    xmlDocPtr wanted = *other ? domain_xml_parse(other) : NULL;
    xmlBufferPtr wanted_device = *other ? domain_xml_element(wanted, "/*") : NULL;
    if (*other) {
        assert_string_equal((char *)xmlBufferContent(device),
                            (char *)xmlBufferContent(wanted_device));
        xmlChar *again = domain_xml_value(doc, "(/domain/devices/*[alias/@name = 'ua-hca0'])[2]");
        assert_null(again);
        xmlFreeDoc(wanted);
        xmlBufferFree(wanted_device);
        xmlBufferFree(device);
    } else {
        assert_null(device);
    }
    xmlFreeDoc(doc);
    xmlFree(xml);
}

static void a_device_is_exchanged_for_that_of_another_host(void **state)
{
    static const char *const devices[] = {"", FUNCTION, FROM_POOL};
    for (size_t own = 0; own < 3; own++) {
        for (size_t other = 0; other < 3; other++) {
            exchanged(devices[own], devices[other]);
        }
    }
}

static void what_is_no_xml_is_refused(void **state)
{
    assert_null(domain_xml_exchange("<domain", "ua-hca0", FUNCTION));
    assert_null(domain_xml_exchange(DOMAIN(FUNCTION), "ua-hca0", "<hostdev>"));
    assert_null(domain_xml_exchange("<domain/>", "ua-hca0", FUNCTION));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_aliases_of_users_are_listed),
        cmocka_unit_test(a_device_is_exchanged_for_that_of_another_host),
        cmocka_unit_test(what_is_no_xml_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
